"""Settings for all tests."""

import os

# Before transformers is imported: no test may reach the network.
os.environ["HF_HUB_OFFLINE"] = "1"
