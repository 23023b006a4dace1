"""The command line: one thin file per command. Nothing else imports tyro or rich."""
