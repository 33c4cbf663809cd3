"""The same sentence in other words: by rules, by a local model, or by an LLM behind an endpoint; all checked alike."""
