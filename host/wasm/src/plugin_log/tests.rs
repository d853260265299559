use tracing_subscriber::filter::LevelFilter;

use super::super::log_capture::capture_log;
use super::*;

const DEBUG: LevelFilter = LevelFilter::DEBUG;

fn printed(pieces: &[(Stream, &[u8])]) -> Vec<String> {
    capture_log(DEBUG, || {
        let line_buffer = LineBuffer::new(Arc::new(PluginLogger::new("p")));
        for (stream, bytes) in pieces {
            line_buffer.print(*stream, bytes);
        }
    })
}

fn sanitized(message: &str) -> String {
    Sanitized(message).to_string()
}

#[test]
fn a_line_bears_its_level_and_the_name_of_the_plugin() {
    let lines = capture_log(DEBUG, || {
        let logger = PluginLogger::new("by region");
        logger.log(LogLevel::Error, "one");
        logger.log(LogLevel::Warn, "two");
        logger.log(LogLevel::Info, "three");
        logger.log(LogLevel::Debug, "four");
    });
    assert_eq!(
        lines,
        [
            r#"ERROR one plugin="by region""#,
            r#"WARN two plugin="by region""#,
            r#"INFO three plugin="by region""#,
            r#"DEBUG four plugin="by region""#,
        ]
    );
}

#[test]
fn a_message_cannot_forge_a_line_or_command_a_terminal() {
    for (message, shown) in [
        ("a\nERROR b", r"a\nERROR b"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[2Ja", r"\u{1b}[2Ja"),
        (
            "a\0\x07\x7f\u{85}\u{9b}b",
            r"a\u{0}\u{7}\u{7f}\u{85}\u{9b}b",
        ),
        ("a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
        ("\u{202e}gnp\u{202c}", r"\u{202e}gnp\u{202c}"),
        ("\u{2066}a\u{2069}\u{61c}", r"\u{2066}a\u{2069}\u{61c}"),
        ("", ""),
        (r#"größer \n "x" 🦀"#, r#"größer \n "x" 🦀"#),
    ] {
        assert_eq!(sanitized(message), shown);
    }
    let lines = capture_log(DEBUG, || {
        PluginLogger::new("p").log(LogLevel::Info, "a\nb\r\x1b[31mc\u{2028}d");
    });
    assert_eq!(lines, [r#"INFO a\nb\r\u{1b}[31mc\u{2028}d plugin="p""#]);
}

#[test]
fn a_message_is_cut_between_characters() {
    let fits = "x".repeat(MAX_LINE);
    assert_eq!(sanitized(&fits), fits);
    assert_eq!(sanitized(&format!("{fits}x")), format!("{fits}…"));
    let wide = format!("{}é", "x".repeat(MAX_LINE - 1));
    assert_eq!(sanitized(&wide), format!("{}…", "x".repeat(MAX_LINE - 1)));
}

#[test]
fn dropped_lines_are_counted_before_the_next_line_or_at_the_end() {
    let lines = capture_log(DEBUG, || {
        let logger = PluginLogger::new("p");
        logger.limit.dropped.store(3, Ordering::Relaxed);
        logger.log(LogLevel::Info, "again");
        logger.limit.dropped.store(1, Ordering::Relaxed);
    });
    assert_eq!(
        lines,
        [
            r#"WARN 3 lines dropped plugin="p""#,
            r#"INFO again plugin="p""#,
            r#"WARN 1 line dropped plugin="p""#,
        ]
    );
}

#[test]
fn lines_of_disabled_levels_are_not_counted() {
    let lines = capture_log(LevelFilter::INFO, || {
        let logger = PluginLogger::new("p");
        for _ in 0..1000 {
            logger.log(LogLevel::Debug, "unseen");
        }
        logger.log(LogLevel::Info, "seen");
    });
    assert_eq!(lines, [r#"INFO seen plugin="p""#]);
}

#[test]
fn a_plugin_that_logs_too_much_is_rate_limited() {
    let lines = capture_log(DEBUG, || {
        let logger = PluginLogger::new("p");
        for _ in 0..10_000 {
            logger.log(LogLevel::Info, "again");
        }
    });
    // The burst, and what a slow machine lets through meanwhile.
    assert!((21..1_000).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().any(|line| line.contains("lines dropped")));
}

#[test]
fn printed_pieces_become_lines() {
    let lines = printed(&[
        (Stream::Stdout, b"hello "),
        (Stream::Stderr, b"oh"),
        (Stream::Stdout, b"world\nsecond\nthi"),
        (Stream::Stderr, b"!\r\n"),
        (Stream::Stdout, b"rd\n"),
    ]);
    assert_eq!(
        lines,
        [
            r#"INFO hello world plugin="p""#,
            r#"INFO second plugin="p""#,
            r#"WARN oh! plugin="p""#,
            r#"INFO third plugin="p""#,
        ]
    );
}

#[test]
fn lines_without_text_are_left_out() {
    assert!(printed(&[(Stream::Stdout, b"\n\n \n\r\n\t\n")]).is_empty());
}

#[test]
fn unfinished_lines_are_logged_when_the_instance_is_dropped() {
    let lines = printed(&[(Stream::Stderr, b"almost"), (Stream::Stdout, b"done\nha")]);
    assert_eq!(
        lines,
        [
            r#"INFO done plugin="p""#,
            r#"INFO ha plugin="p""#,
            r#"WARN almost plugin="p""#,
        ]
    );
}

#[test]
fn the_rest_of_an_overlong_line_is_left_out() {
    let long = vec![b'x'; 3 * MAX_LINE];
    let cut = format!("INFO {}… plugin=\"p\"", "x".repeat(MAX_LINE));
    let next = "INFO next plugin=\"p\"".to_owned();
    let whole = printed(&[
        (Stream::Stdout, &long),
        (Stream::Stdout, &long),
        (Stream::Stdout, b"x\nnext\n"),
    ]);
    assert_eq!(whole, [cut.clone(), next.clone()]);

    let mut pieces: Vec<(Stream, &[u8])> = long.chunks(7).map(|p| (Stream::Stdout, p)).collect();
    pieces.push((Stream::Stdout, b"\n"));
    pieces.push((Stream::Stdout, b"next\n"));
    assert_eq!(printed(&pieces), [cut, next]);
}

#[test]
fn a_line_that_just_fits_is_not_cut() {
    let text = "x".repeat(MAX_LINE);
    let lines = printed(&[(Stream::Stdout, text.as_bytes()), (Stream::Stdout, b"\n")]);
    assert_eq!(lines, [format!("INFO {text} plugin=\"p\"")]);
}

#[test]
fn bytes_that_are_not_utf8_are_replaced() {
    let lines = printed(&[
        (Stream::Stdout, b"a\xff\xfeb\xe2\x82\n\xc3"),
        (Stream::Stdout, b"\xa9\n"),
    ]);
    assert_eq!(lines, [r#"INFO a��b� plugin="p""#, r#"INFO é plugin="p""#]);
}
