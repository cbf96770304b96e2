//! `tidings send-file`: a CSV file as messages, a line each.
//!
//! Every line has an idempotency key of its own, made of the run's name and the line's content (and of how many equal lines
//! come before it), so a run that was cut off is simply started again: what was accepted is replayed, not sent twice, also
//! if other lines were corrected or taken out meanwhile. Refused lines go to a report.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use aws_lc_rs::digest;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::client::{Access, Answer, Client};

/// Lines that go in one request.
const AT_ONCE: usize = 500;
/// How often a batch is tried while the service is full or away.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_secs(2);
/// Columns that are fields of a message; the others are parameters of the template.
const FIELDS: [&str; 13] = [
    "to",
    "channel",
    "template",
    "locale",
    "text",
    "category",
    "signature",
    "send_at",
    "max_price",
    "reference",
    "expires_in_s",
    "hold",
    "idempotency_key",
];

/// Send a CSV file, a message a line
#[derive(Debug, Args)]
#[command(after_help = "The first line names the columns: fields of a message (to, template, text, reference, send_at, …);
any other column is a parameter of the template, `metadata.x` an entry of the metadata.
Lines that are refused for now are tried again; those refused for good are written to FILE.refused.csv.

Examples:
  tidings send-file customers.csv --template news
  tidings send-file customers.csv --template news --run spring-2026   start it again if it was cut off")]
pub(super) struct SendFile {
    #[command(flatten)]
    access: Access,
    file: PathBuf,
    /// Template of lines without one
    #[arg(long)]
    template: Option<String>,
    /// Signature of lines without one
    #[arg(long)]
    signature: Option<String>,
    /// Name of the run: the same lines under another name are sent again [default: the file's name]
    #[arg(long)]
    run: Option<String>,
    /// Where refused lines are written [default: FILE.refused.csv]
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
}

/// What became of all lines.
#[derive(Default)]
struct Tally {
    accepted: usize,
    replayed: usize,
    refused: usize,
}

/// Lines as they were read.
struct Line {
    record: csv::StringRecord,
    message: Value,
}

impl SendFile {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (headers, lines) = self.read()?;
        let refused_path = self.refused.clone().unwrap_or_else(|| self.file.with_extension("refused.csv"));
        let mut defaults = Map::new();
        defaults.extend(self.template.clone().map(|template| ("template".to_owned(), template.into())));
        defaults.extend(self.signature.clone().map(|signature| ("signature".to_owned(), signature.into())));
        let client = self.access.client()?;
        let bar = ProgressBar::new(lines.len() as u64);
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} lines, {per_sec}, {eta} left").context("the progress bar")?);
        let mut report = Report { path: refused_path, headers, writer: None };
        let mut tally = Tally::default();
        for chunk in lines.chunks(AT_ONCE) {
            send(&client, &defaults, chunk, &mut tally, &mut report).await?;
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        println!("{} accepted, {} of them before, {} refused", tally.accepted, tally.replayed, tally.refused);
        if tally.refused > 0 {
            bail!("{} lines were refused: see {}", tally.refused, report.path.display());
        }
        Ok(())
    }

    fn read(&self) -> anyhow::Result<(csv::StringRecord, Vec<Line>)> {
        let name = self.file.display();
        let mut reader = csv::Reader::from_path(&self.file).with_context(|| format!("{name} cannot be opened"))?;
        let headers = reader.headers().with_context(|| format!("{name} has no first line"))?.clone();
        if !headers.iter().any(|header| header == "to") {
            bail!("{name} has no column \"to\"");
        }
        let file_name = self.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut keys = Keys::of(self.run.as_deref().unwrap_or(&file_name));
        let mut lines = Vec::new();
        for record in reader.records() {
            let record = record.with_context(|| format!("{name} is no CSV"))?;
            let message = message(&headers, &record, &mut keys);
            lines.push(Line { record, message });
        }
        Ok((headers, lines))
    }
}

/// A line as an item of a batch. Empty cells of fields are absent; an empty cell of a parameter is an empty text.
fn message(headers: &csv::StringRecord, record: &csv::StringRecord, keys: &mut Keys) -> Value {
    let (mut message, mut params, mut metadata) = (Map::new(), Map::new(), Map::new());
    for (header, cell) in headers.iter().zip(record.iter()) {
        if let Some(name) = header.strip_prefix("metadata.") {
            metadata.insert(name.to_owned(), cell.into());
        } else if !FIELDS.contains(&header) {
            params.insert(header.to_owned(), cell.into());
        } else if !cell.is_empty() {
            // What is no number or no flag goes as it is: the API says what is wrong with it.
            let typed = match header {
                "expires_in_s" => cell.parse::<i64>().ok().map(Value::from),
                "hold" => cell.parse::<bool>().ok().map(Value::from),
                _ => None,
            };
            message.insert(header.to_owned(), typed.unwrap_or_else(|| cell.into()));
        }
    }
    if !params.is_empty() && !message.contains_key("text") {
        message.insert("params".to_owned(), params.into());
    }
    if !metadata.is_empty() {
        message.insert("metadata".to_owned(), metadata.into());
    }
    message.entry("idempotency_key").or_insert_with(|| keys.next(record).into());
    message.into()
}

/// Idempotency keys of a run's lines: the same for the same line of the same run.
struct Keys<'a> {
    run: &'a str,
    /// How many lines of each content there were.
    seen: HashMap<String, usize>,
}

impl<'a> Keys<'a> {
    fn of(run: &'a str) -> Self {
        Self { run, seen: HashMap::new() }
    }

    fn next(&mut self, record: &csv::StringRecord) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in std::iter::once(self.run).chain(record.iter()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let digest = context.finish();
        let key = format!("file-{}", digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let before = self.seen.entry(key.clone()).or_default();
        *before += 1;
        if *before == 1 { key } else { format!("{key}-{before}") }
    }
}

/// Sends lines until none of them is refused only for now.
async fn send(
    client: &Client,
    defaults: &Map<String, Value>,
    lines: &[Line],
    tally: &mut Tally,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut left: Vec<&Line> = lines.iter().collect();
    for attempt in 1..=TRIES {
        let messages: Vec<&Value> = left.iter().map(|line| &line.message).collect();
        let mut pause = PAUSE;
        match client.post("/v1/messages/batch", &json!({"defaults": defaults, "messages": messages}), None).await {
            Ok(Answer::Done(body)) => left = settle(&body, &left, tally, report, attempt == TRIES)?,
            Ok(Answer::Refused(refused)) if refused.passes() => pause = refused.retry_after.unwrap_or(PAUSE),
            Ok(Answer::Refused(refused)) => bail!("{}", refused.line()),
            // What arrived before the connection broke is replayed.
            Err(error) if attempt == TRIES => return Err(error),
            Err(_) => {}
        }
        if left.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
    bail!("the service could not take the lines; start the same run again and it goes on from here")
}

/// Counts what was decided and returns the lines that are worth another try.
fn settle<'a>(body: &Value, lines: &[&'a Line], tally: &mut Tally, report: &mut Report, last: bool) -> anyhow::Result<Vec<&'a Line>> {
    let results = body["results"].as_array().context("the answer has no results")?;
    let mut left = Vec::new();
    for (line, result) in lines.iter().copied().zip(results) {
        let error = &result["error"];
        if error.is_null() {
            tally.accepted += 1;
            tally.replayed += usize::from(result["replayed"] == true);
        } else if !last && matches!(error["status"].as_u64(), Some(429 | 503)) && error["code"] != "quota_exceeded" {
            left.push(line);
        } else {
            tally.refused += 1;
            report.add(&line.record, error)?;
        }
    }
    Ok(left)
}

/// The refused lines with the reason, as a CSV file that can be corrected and sent.
struct Report {
    path: PathBuf,
    headers: csv::StringRecord,
    writer: Option<csv::Writer<std::fs::File>>,
}

impl Report {
    fn add(&mut self, record: &csv::StringRecord, error: &Value) -> anyhow::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(open(&self.path, &self.headers)?),
        };
        let fields = error["errors"].as_array().into_iter().flatten();
        let details: Vec<String> = fields
            .map(|field| format!("{} {}", field["pointer"].as_str().unwrap_or_default(), field["detail"].as_str().unwrap_or_default()))
            .collect();
        let code = error["code"].as_str().unwrap_or_default();
        let reason = if details.is_empty() { code.to_owned() } else { format!("{code}: {}", details.join("; ")) };
        let mut row = record.clone();
        row.push_field(&reason);
        writer.write_record(&row)?;
        writer.flush().context("the report cannot be written")
    }
}

fn open(path: &Path, headers: &csv::StringRecord) -> anyhow::Result<csv::Writer<std::fs::File>> {
    let mut writer = csv::Writer::from_path(path).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut row = headers.clone();
    row.push_field("refused");
    writer.write_record(&row)?;
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(cells: &[&str]) -> csv::StringRecord {
        cells.to_vec().into()
    }

    #[test]
    fn a_line_is_a_message_whose_other_columns_are_parameters() {
        let headers = record(&["to", "name", "reference", "metadata.shop", "expires_in_s", "hold"]);
        let read = message(&headers, &record(&["+8613800138000", "Ada", "", "berlin", "60", "true"]), &mut Keys::of("run"));
        let key = read["idempotency_key"].clone();
        let (to, params, metadata) = ("+8613800138000", json!({"name": "Ada"}), json!({"shop": "berlin"}));
        let expected = json!({"to": to, "params": params, "metadata": metadata, "expires_in_s": 60, "hold": true, "idempotency_key": key});
        assert_eq!(read, expected);
    }

    #[test]
    fn the_same_line_of_the_same_run_has_the_same_key_and_no_other_has() {
        let (ada, bob) = (record(&["+8613800138000", "Ada"]), record(&["+8613800138000", "Bob"]));
        let keys = |run: &str, lines: &[&csv::StringRecord]| -> Vec<String> {
            let mut keys = Keys::of(run);
            lines.iter().map(|line| keys.next(line)).collect()
        };
        let whole = keys("run", &[&ada, &bob, &ada]);
        assert_eq!(whole, keys("run", &[&ada, &bob, &ada]));
        assert!(whole[0] != whole[1] && whole[0] != whole[2], "equal lines are two messages");
        assert_eq!(whole[1], keys("run", &[&bob])[0], "a line that is taken out changes no other");
        assert_ne!(whole[0], keys("other", &[&ada])[0]);
    }
}
