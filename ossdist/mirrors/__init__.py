"""HTTP sources: documents now; ranking, health and the payload engine stand here as they come."""
