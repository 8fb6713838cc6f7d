"""Glue's machine learning transforms, which are trained services of AWS: their names, and a clear refusal."""
