//! RSA moduli of the kind that Infineon's library made, which can be factored (CVE-2017-15361, "ROCA").

/// The odd primes by which such moduli are recognised.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether the modulus (big-endian) is a power of 65537 modulo every one of the primes. For one of another origin
/// the odds are below 2^-27.
pub(super) fn is_weak(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| is_power_of_65537(remainder(modulus, *prime), *prime))
}

fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

fn is_power_of_65537(value: u32, prime: u32) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    for _ in 0..prime {
        if power == value {
            return true;
        }
        power = power * generator % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_the_generator_are_weak_and_neighbours_are_not() {
        assert!(is_weak(&[1]) && is_weak(&[1, 0, 1]) && is_weak(&[1, 0, 2, 0, 1]));
        assert!(!is_weak(&[1, 0, 2, 0, 3]) && !is_weak(&[3]) && !is_weak(&[]));
    }
}
