"""Who is told when somebody wears no mask: the rules, and the ways to tell.

`maskdet.alerts.webhook` and `maskdet.alerts.mqtt` send; nothing is sent unless a user
gave an address.
"""

from __future__ import annotations

from maskdet.alerts.rules import RULE_KINDS, AlertDetector, AlertRule

__all__ = ["RULE_KINDS", "AlertDetector", "AlertRule"]
