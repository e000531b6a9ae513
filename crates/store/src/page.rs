//! Buffers that begin at a page.
