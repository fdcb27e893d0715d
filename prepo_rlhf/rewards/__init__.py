"""Verifiable rewards: what decides whether a rollout is right."""
