//! Compiles the CUDA kernels, if the feature `cuda` is on. Otherwise it does nothing and needs nothing.
//!
//! Each `cuda/NAME.cu` becomes `$OUT_DIR/NAME.fatbin`: machine code for every architecture of `BATON_CUDA_ARCHS`
//! (`80;90` if it is not set), and PTX of the last one, which the driver compiles for devices that came later. The
//! compiler is `$NVCC`, else `$CUDA_HOME/bin/nvcc`, else `nvcc` of `PATH`; no GPU and no driver is needed.
//! `scripts/gpu/toolkit` puts a compiler together where there is none.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;

/// Ampere and Hopper; the others of these generations run the same code.
const ARCHITECTURES: &str = "80;90";
/// Compilers that run at once: each takes a core and up to 2 GiB.
const PARALLEL: usize = 2;
/// The newest toolkit whose PTX driver 580 takes.
const NEWEST: (u32, u32) = (13, 0);
const HINT: &str = "scripts/gpu/toolkit puts nvcc together from Python wheels, and scripts/gpu/build does so by itself";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return ExitCode::SUCCESS;
    }
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// How every kernel is compiled.
struct Compiler {
    nvcc: PathBuf,
    /// What the compiler says about itself.
    version: String,
    arguments: Vec<String>,
    /// All `.cuh`: any kernel may include any of them.
    headers: Vec<u8>,
    out: PathBuf,
}

fn compile() -> Result<(), String> {
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("cuda");
    println!("cargo::rerun-if-changed={}", folder.display());
    let architectures = asked("BATON_CUDA_ARCHS").unwrap_or_else(|| ARCHITECTURES.to_owned());
    let (sources, headers) = sources(&folder)?;
    let (nvcc, version) = find_nvcc()?;
    let arguments = arguments(&architectures)?;
    let compiler = Compiler { nvcc, version, arguments, headers, out: PathBuf::from(variable("OUT_DIR")?) };
    // What the driver and the device of a machine are held against, where the program runs.
    println!("cargo::rustc-env=BATON_CUDA_ARCHS={architectures}");
    let queue = Mutex::new(sources.iter());
    let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let work = || -> Result<(), String> {
        while let Some(source) = next() {
            compiler.compile(source)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| "a compiling thread panicked".to_owned())?)
    })
}

impl Compiler {
    /// Compiles one kernel file, unless what is there was made from the same input in the same way.
    fn compile(&self, source: &Path) -> Result<(), String> {
        let name = source.file_stem().unwrap_or_default();
        let result = self.out.join(name).with_extension("fatbin");
        let marker = self.out.join(name).with_extension("key");
        let key = self.key(source)?;
        if result.is_file() && fs::read_to_string(&marker).is_ok_and(|old| old == key) {
            return Ok(());
        }
        // An interrupted compiler must not leave a half file that counts.
        match fs::remove_file(&marker) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("cannot remove {}: {error}", marker.display()));
            }
            _ => {}
        }
        let output = Command::new(&self.nvcc).args(&self.arguments).arg("-o").arg(&result).arg(source).output();
        let output = output.map_err(|error| format!("cannot run {}: {error}", self.nvcc.display()))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        if !output.status.success() {
            return Err(format!("{} does not compile\n{}", source.display(), said.trim_end()));
        }
        said.lines().filter(|line| !line.trim().is_empty()).for_each(|line| println!("cargo::warning={line}"));
        fs::write(&marker, key).map_err(|error| format!("cannot write {}: {error}", marker.display()))
    }

    fn key(&self, source: &Path) -> Result<String, String> {
        let mut hasher = DefaultHasher::new();
        (&self.nvcc, &self.version, &self.arguments, &self.headers, read(source)?).hash(&mut hasher);
        Ok(format!("{:016x}", hasher.finish()))
    }
}

/// The kernel files in order, and what their headers hold.
fn sources(folder: &Path) -> Result<(Vec<PathBuf>, Vec<u8>), String> {
    let listed = || -> io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    let paths = listed().map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let (mut sources, mut headers) = (Vec::new(), Vec::new());
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("cu") => sources.push(path),
            Some("cuh") => headers.extend(read(&path)?),
            _ => {}
        }
    }
    Ok((sources, headers))
}

fn arguments(architectures: &str) -> Result<Vec<String>, String> {
    let mut arguments: Vec<_> =
        ["-fatbin", "-std=c++17", "-O3", "--expt-relaxed-constexpr"].map(str::to_owned).to_vec();
    let mut last = "";
    for one in architectures.split(';') {
        if one.is_empty() || !one.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("BATON_CUDA_ARCHS is `{architectures}`, but is to be a list like 80;90"));
        }
        arguments.extend(["-gencode".to_owned(), format!("arch=compute_{one},code=sm_{one}")]);
        last = one;
    }
    arguments.extend(["-gencode".to_owned(), format!("arch=compute_{last},code=compute_{last}")]);
    Ok(arguments)
}

/// The compiler and what it says about itself; warns if a driver may refuse what it makes.
fn find_nvcc() -> Result<(PathBuf, String), String> {
    let of_home = || asked("CUDA_HOME").map(|home| Path::new(&home).join("bin/nvcc"));
    let nvcc = asked("NVCC").map(PathBuf::from).or_else(of_home).unwrap_or_else(|| PathBuf::from("nvcc"));
    let output = Command::new(&nvcc).arg("--version").output().map_err(|error| {
        let tried = nvcc.display();
        format!("the feature `cuda` needs NVIDIA's compiler, but {tried} cannot be run: {error}\nhint: {HINT}")
    })?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(release) = release(&version) else {
        return Err(format!("{} does not say its version; is it NVIDIA's compiler?\nhint: {HINT}", nvcc.display()));
    };
    if release > NEWEST {
        let ((major, minor), (newest_major, newest_minor)) = (release, NEWEST);
        println!(
            "cargo::warning=nvcc is of CUDA {major}.{minor}: devices newer than the named architectures need a driver \
             of that version; with {newest_major}.{newest_minor} driver 580 does"
        );
    }
    Ok((nvcc, version))
}

/// Major and minor of a text with `release 13.0,` in it.
fn release(version: &str) -> Option<(u32, u32)> {
    let (number, _) = version.split_once("release ")?.1.split_once(',')?;
    let (major, minor) = number.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A variable that a person may set; the build is repeated when it changes.
fn asked(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// A variable that cargo sets.
fn variable(name: &str) -> Result<String, String> {
    env::var_os(name).and_then(|value| value.into_string().ok()).ok_or_else(|| format!("cargo did not set {name}"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
