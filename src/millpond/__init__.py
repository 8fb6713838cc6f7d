"""Millpond: a data lake on your laptop.

What a `pipeline.py` imports. Importing it declares nothing and reaches nothing: no network, no files.
"""

__version__ = "0.1.0"
