//! Tables and properties.

mod calibration;
mod judgment;
mod question;
mod radius;
mod reader;
