"""Project -> CloudFormation: the template (template.py), its roles (iam.py, flows.py), the files it needs (assets.py).

No network and no AWS calls: the same project gives the same bytes. May import: errors, project, resources, asl.
"""

from millpond.stack.assets import Asset
from millpond.stack.template import Bundle, build

__all__ = ["Asset", "Bundle", "build"]
