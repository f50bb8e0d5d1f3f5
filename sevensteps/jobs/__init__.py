"""What each verb does: the verb is the file."""
