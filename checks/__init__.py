"""What is observed of a target, and what is concluded from it."""

__version__ = "0.1.0"
