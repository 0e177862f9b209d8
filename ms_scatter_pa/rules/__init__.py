"""From a call's arguments to what it means, or to a refusal. No device, no MindSpore operator."""
