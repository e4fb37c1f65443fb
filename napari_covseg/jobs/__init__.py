"""Long work told in steps, and the one thread that does it.

A job is a generator: it yields `Progress` and finished pieces, and returns its result. The command line
drains it; the window hands it to a `JobRunner`, whose single compute thread segmentation and fine-tuning
share. Whatever a job yields is delivered on the home thread, so no subscriber ever has to hop.
"""

from napari_covseg.jobs.run import Enough, Run
from napari_covseg.jobs.runner import JobRunner
from napari_covseg.jobs.steps import Job, LeftError, Progress, Remark, drain, overheard, passed_on, retold

__all__ = [
    "Enough",
    "Job",
    "JobRunner",
    "LeftError",
    "Progress",
    "Remark",
    "Run",
    "drain",
    "overheard",
    "passed_on",
    "retold",
]
