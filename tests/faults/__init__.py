"""Kills at random moments, judged by evidence from outside: files that the workers wrote, and the process table."""
