"""Seccomp profiles to small filters, kept by their digest."""
