"""Summarizers that ship with the package."""
