//! The engine against appendix B and against itself.
