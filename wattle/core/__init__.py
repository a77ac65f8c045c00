"""The pure middle of Wattle: what things are and what is decided. No I/O, no clock, no asyncio."""
