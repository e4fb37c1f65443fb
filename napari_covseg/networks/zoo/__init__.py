"""One paper per file; every file defines SPEC."""
