"""``python -m napari_covseg`` is ``covseg``."""

import sys

from napari_covseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
