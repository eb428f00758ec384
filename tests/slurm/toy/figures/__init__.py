"""Figures of the toy experiment."""
