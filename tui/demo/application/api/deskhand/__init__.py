"""Deskhand: a support assistant that answers from an organization's own documents."""
