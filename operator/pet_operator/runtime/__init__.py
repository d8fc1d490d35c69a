"""The operator at work, without Kubernetes: what is seen is kept, keys are queued, decisions are carried out."""
