"""Images and file systems as files: layouts and archives, read and written."""
