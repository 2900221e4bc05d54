//! Empty: this package holds tests that need the simulator, in `tests/tests/`.
