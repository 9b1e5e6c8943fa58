"""Signing in at databases: `database_probe` is the way in, and each driver has one file that only it imports."""
