"""The warning category of peft."""


class PeftWarning(UserWarning):
    """A warning that peft itself raises."""
