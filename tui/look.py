"""The themes: one accent, five severities, and greys. Dark and light."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="surveyor-dark",
    primary="#6cb6c9",
    secondary="#6cb6c9",
    accent="#6cb6c9",
    foreground="#d5dae1",
    background="#12161c",
    surface="#171c24",
    panel="#1e252f",
    success="#86b97a",
    warning="#d9a45b",
    error="#e2706b",
    dark=True,
    variables={
        "muted": "#8591a1",
        "faint": "#465160",
        "strong": "#f2f5f8",
        "code": "#b7cfa0",
        "severity-critical": "#ff6b6b",
        "severity-high": "#f0945a",
        "severity-medium": "#dfc069",
        "severity-low": "#84aee0",
        "severity-note": "#94a0b0",
        "cursor": "#25303d",
        "rule": "#2a333f",
        "border": "#35404e",
        "border-blurred": "#2a333f",
        "input-cursor-background": "#6cb6c9",
        "input-selection-background": "#6cb6c9 35%",
    },
)

LIGHT = Theme(
    name="surveyor-light",
    primary="#0f6f86",
    secondary="#0f6f86",
    accent="#0f6f86",
    foreground="#1f2933",
    background="#fbfbf9",
    surface="#f3f3f0",
    panel="#e8e9e6",
    success="#2f7a36",
    warning="#96600c",
    error="#b3261e",
    dark=False,
    variables={
        "muted": "#5c6773",
        "faint": "#a9b0b7",
        "strong": "#0b1116",
        "code": "#3f6212",
        "severity-critical": "#b3121d",
        "severity-high": "#b1500b",
        "severity-medium": "#7d6000",
        "severity-low": "#275ea3",
        "severity-note": "#5c6773",
        "cursor": "#dbe7ea",
        "rule": "#d3d6d4",
        "border": "#bfc5c4",
        "border-blurred": "#d3d6d4",
        "input-cursor-background": "#0f6f86",
        "input-selection-background": "#0f6f86 25%",
    },
)
