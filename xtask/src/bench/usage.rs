//! What processes use, and how busy the machine is, as the kernel tells it.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// Processor time of one process, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cpu {
    pub(super) user: f64,
    pub(super) system: f64,
}

impl Cpu {
    pub(super) fn total(self) -> f64 {
        self.user + self.system
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }
}

/// What a process has used so far.
pub(super) fn cpu(pid: u32) -> Result<Cpu, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let ticks = ticks(&stat).ok_or_else(|| format!("{path} is not what it was"))?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
    Ok(Cpu { user: ticks.0 as f64 / per_second, system: ticks.1 as f64 / per_second })
}

/// The 14th and 15th field; the second one, a name in parentheses, may have spaces itself.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Resident memory of a process, in MB (10⁶ bytes).
pub(super) fn resident_mb(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    Ok(kib.ok_or_else(|| format!("{path} has no VmRSS"))? * 1.024 / 1_000.0)
}

/// The average of the last minute.
pub(super) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// Processors that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_read_past_any_program_name() {
        let stat = "77 (odd ) name) S 1 77 77 0 -1 4194560 1 0 0 0 250 50 3 4 20 0 9 0 100 1 1";
        assert_eq!(ticks(stat), Some((250, 50)));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(resident_mb(std::process::id()).unwrap() > 1.0);
        assert!(cpu(std::process::id()).is_ok());
    }
}
