"""The session: from a configuration to a study, a confirmed winner and an exported model."""
