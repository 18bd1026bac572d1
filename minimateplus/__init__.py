"""The instrument: Instantel MiniMate Plus, its wire, its links, its client and a simulated unit."""
