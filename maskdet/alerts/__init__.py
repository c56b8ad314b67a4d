"""Alerts on tracked people: rules, and delivery by webhook and MQTT.

Nothing is sent unless a user configures a receiver.
"""

from __future__ import annotations

from maskdet.alerts.rules import RULE_KINDS, AlertDetector, AlertRule

__all__ = ["RULE_KINDS", "AlertDetector", "AlertRule"]
