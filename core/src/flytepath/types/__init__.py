"""Values to literals and back, exactly, by converters that are built once per Python type."""
