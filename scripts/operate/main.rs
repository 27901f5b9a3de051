// Says that it is ready, waits for a line, and prints what the function makes of 5.
unsafe extern "C" {
    fn hooks_step(x: i32) -> i32;
}

fn main() {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    println!("{}", unsafe { hooks_step(5) });
}
