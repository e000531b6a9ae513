//! Which blocks the region holds already.
