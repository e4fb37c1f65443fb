"""Teach a network: from annotated cases, or from what the reader corrected."""
