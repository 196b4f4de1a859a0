"""Forecasts in the service: the dry-run process and its guardian, what this machine taught, and what fits."""
