"""The target ``sqlite:///file``."""
