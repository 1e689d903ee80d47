//! What is there to run on: libraries, driver, devices. Nothing here fails; what is missing is said.

use cudarc::cublaslt;
use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{self, DriverError, result};

use crate::cuda_status::{CudaDevice, CudaMissing, CudaStatus, CudaVersion};

/// The first driver that loads what CUDA 13 compiles: 580.
const NEEDED: CudaVersion = CudaVersion { major: 13, minor: 0 };
/// What build.rs compiled for, as `80;90`.
const ARCHITECTURES: &str = env!("BATON_CUDA_ARCHS");

/// What was found, before it is judged.
struct Found {
    /// Absent if its library cannot be loaded.
    driver: Option<Result<Driver, String>>,
    cublas: bool,
}

struct Driver {
    version: CudaVersion,
    devices: Vec<CudaDevice>,
}

/// Looks at this machine. Loads libraries and starts the driver, which takes up to a second, but uses no device.
pub(crate) fn status() -> CudaStatus {
    // SAFETY: both are NVIDIA's own libraries, whose initialisers may run in any process at any time.
    let (driver, cublas) = unsafe { (driver::sys::is_culib_present(), cublaslt::sys::is_culib_present()) };
    let driver = driver.then(|| ask().map_err(name));
    judge(Found { driver, cublas }, ARCHITECTURES)
}

/// Asks a driver whose library has been found.
fn ask() -> Result<Driver, DriverError> {
    let mut number = 0;
    // SAFETY: the function writes one integer to where the pointer points.
    unsafe { driver::sys::cuDriverGetVersion(&raw mut number) }.result()?;
    let number = u32::try_from(number).unwrap_or(0);
    let version = CudaVersion { major: number / 1000, minor: number % 1000 / 10 };
    let devices = match result::init() {
        // A driver says so instead of counting none.
        Err(DriverError(driver::sys::CUresult::CUDA_ERROR_NO_DEVICE)) => Vec::new(),
        Err(error) => return Err(error),
        Ok(()) => (0..result::device::get_count()?).map(device).collect::<Result<_, _>>()?,
    };
    Ok(Driver { version, devices })
}

fn device(ordinal: i32) -> Result<CudaDevice, DriverError> {
    let device = result::device::get(ordinal)?;
    let name = result::device::get_name(device)?;
    // SAFETY: `device` is what the driver gave for a number below its count.
    let memory = unsafe { result::device::total_mem(device) }?;
    // SAFETY: as above.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let part = |number| u32::try_from(number).unwrap_or(0);
    Ok(CudaDevice { name, memory: memory as u64, capability: CudaVersion { major: part(major), minor: part(minor) } })
}

/// The driver's name for a failure, such as `CUDA_ERROR_SYSTEM_NOT_READY`.
fn name(error: DriverError) -> String {
    error.error_name().map_or_else(|_| "an unknown error".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What is missing of what was found, in the order in which a person has to get it.
fn judge(found: Found, architectures: &str) -> CudaStatus {
    let mut missing = Vec::new();
    let driver = match found.driver {
        None => Err(CudaMissing::Driver),
        Some(Err(failure)) => Err(CudaMissing::DriverFails(failure)),
        Some(Ok(driver)) if driver.version < NEEDED => {
            Err(CudaMissing::DriverTooOld { found: driver.version, needed: NEEDED })
        }
        Some(Ok(driver)) => match driver.devices.first() {
            None => Err(CudaMissing::Device),
            Some(first) if !runs(architectures, first.capability) => Err(CudaMissing::Code {
                name: first.name.clone(),
                found: first.capability,
                built: in_words(architectures),
            }),
            Some(_) => Ok(driver),
        },
    };
    if !found.cublas {
        missing.push(CudaMissing::Cublas);
    }
    match driver {
        Ok(Driver { version, devices }) if missing.is_empty() => CudaStatus::Ready { driver: version, devices },
        Ok(_) => CudaStatus::Missing(missing),
        Err(first) => {
            missing.insert(0, first);
            CudaStatus::Missing(missing)
        }
    }
}

/// Whether a device has code: machine code of its own generation that is not newer than it, or PTX, which there is of the
/// last architecture.
fn runs(architectures: &str, device: CudaVersion) -> bool {
    let built: Vec<_> = versions(architectures).collect();
    let machine = built.iter().any(|one| one.major == device.major && one.minor <= device.minor);
    machine || built.last().is_some_and(|last| *last <= device)
}

fn in_words(architectures: &str) -> String {
    let names = versions(architectures).map(|one| one.to_string()).collect::<Vec<_>>();
    format!("{} and later", names.join(", "))
}

/// `90` is 9.0, `100` is 10.0; letters behind say that later devices of the generation are left out.
fn versions(architectures: &str) -> impl Iterator<Item = CudaVersion> {
    let number = |one: &str| one.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse::<u32>().ok();
    architectures.split(';').filter_map(number).map(|number| CudaVersion { major: number / 10, minor: number % 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: CudaVersion = CudaVersion { major: 9, minor: 0 };

    fn driver(version: (u32, u32), capability: Option<(u32, u32)>) -> Driver {
        let of = |(major, minor)| CudaVersion { major, minor };
        let device = |capability| CudaDevice { name: "card".to_owned(), memory: 1 << 30, capability: of(capability) };
        Driver { version: of(version), devices: capability.map(device).into_iter().collect() }
    }

    fn said(driver: Option<Result<Driver, String>>, cublas: bool) -> Vec<String> {
        match judge(Found { driver, cublas }, "80;90") {
            CudaStatus::Missing(missing) => missing.iter().map(ToString::to_string).collect(),
            other => panic!("nothing is missing: {other:?}"),
        }
    }

    #[test]
    fn what_is_missing_is_said_in_the_order_to_get_it() {
        let no_cublas = "there is no cuBLAS: libcublasLt.so.13 cannot be loaded";
        assert_eq!(said(None, false), ["there is no NVIDIA driver: libcuda.so.1 cannot be loaded", no_cublas]);
        assert_eq!(said(Some(Ok(driver((13, 0), Some((9, 0))))), false), [no_cublas]);
        assert_eq!(said(Some(Ok(driver((13, 0), None))), true), ["the NVIDIA driver sees no GPU"]);
        let old = said(Some(Ok(driver((12, 8), Some((9, 0))))), true);
        assert_eq!(old, ["the NVIDIA driver knows CUDA up to 12.8, but 13.0 is needed"]);
        let failed = Some(Err("CUDA_ERROR_SYSTEM_NOT_READY".to_owned()));
        assert_eq!(said(failed, true), ["the NVIDIA driver fails with CUDA_ERROR_SYSTEM_NOT_READY"]);
        let turing = said(Some(Ok(driver((13, 1), Some((7, 5))))), true);
        let expected = "the kernels of this build do not run on the card: its compute capability is 7.5, they are for 8.0, 9.0 \
                        and later";
        assert_eq!(turing, [expected]);
    }

    #[test]
    fn a_whole_machine_is_ready() {
        let status = judge(Found { driver: Some(Ok(driver((13, 2), Some((9, 0))))), cublas: true }, "80;90");
        let CudaStatus::Ready { driver, devices } = status else { panic!("{status:?}") };
        assert_eq!((driver.to_string().as_str(), devices[0].capability), ("13.2", H100));
    }

    #[test]
    fn devices_run_code_of_their_generation_or_compile_the_last() {
        let cases = [
            ("80;90", (7, 5), false),
            ("80;90", (8, 0), true),
            ("80;90", (8, 9), true),
            ("80;90", (9, 0), true),
            ("80;90", (12, 0), true),
            ("90", (8, 9), false),
            ("86", (8, 0), false),
            ("80;90a", (9, 0), true),
            ("100", (10, 3), true),
            ("100", (9, 0), false),
        ];
        for (architectures, (major, minor), expected) in cases {
            assert_eq!(runs(architectures, CudaVersion { major, minor }), expected, "{architectures} {major}.{minor}");
        }
    }

    #[test]
    fn this_machine_is_looked_at_without_a_panic() {
        match status() {
            CudaStatus::NotBuilt => panic!("this is the build that has it"),
            CudaStatus::Missing(missing) => assert!(!missing.is_empty()),
            CudaStatus::Ready { driver, devices } => assert!(driver >= NEEDED && !devices.is_empty()),
        }
    }
}
