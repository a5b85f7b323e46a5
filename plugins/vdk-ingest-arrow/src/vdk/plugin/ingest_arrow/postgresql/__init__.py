"""The target ``postgresql://user:password@host/database``."""
