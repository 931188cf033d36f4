"""The attacker: tries to find people in published files, with nothing but those files, the plan and the rules."""
