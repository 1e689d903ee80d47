//! x86-64 with AVX-512 (F, BW, DQ, VL, VNNI): sixteen lanes of f32, sixty-four of i8.
//!
//! Every function here does what its plain definition does, in the same order, and gives the same bits. All are compiled
//! for these instruction sets and may be called only where [`crate::Isa::Avx512`] is available. Kernels that are not here
//! are those of [`crate::avx2`].

pub(crate) mod attention;
mod float;
mod lanes;
pub(crate) mod products;

pub(crate) use float::Float;
