"""Numbers that say how well faces are found and labelled, each with its interval."""
