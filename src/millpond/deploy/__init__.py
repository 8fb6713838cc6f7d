"""Bundle -> account: plan.py compares through a change set, apply.py uploads the assets and executes it.

CloudFormation is the only memory: there is no state file beside it. May import: errors, stack, aws.
"""

from millpond.deploy.apply import Outcome, apply
from millpond.deploy.plan import Change, Plan, plan

__all__ = ["Change", "Outcome", "Plan", "apply", "plan"]
