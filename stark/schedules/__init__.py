"""Schedules: values that change over the epochs of a fit."""
