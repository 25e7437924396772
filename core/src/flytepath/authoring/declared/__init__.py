"""What authors declare about tasks and launch plans: plain, frozen settings that are checked when they are written."""
