//! `GET /docs` (offline: the pages are in the binary) and the pages that problems point to.

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::header;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::api::{
    Api,
    problem::{Code, Problem},
};

/// The human documentation of `/openapi.json`.
pub(in crate::api) fn docs() -> Router<Api> {
    let ui = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    Router::from(ui).route("/docs/index", get(|| async { Redirect::permanent("/docs/") }))
}

/// `GET /problems/{code}`: what it means and what to do.
pub(in crate::api) async fn problem_page(code: Result<Path<String>, axum::extract::rejection::PathRejection>) -> Result<Response, Problem> {
    let Ok(Path(code)) = code else { return Err(Code::NotFound.into()) };
    let code = Code::ALL.iter().find(|known| known.as_str() == code).ok_or(Code::NotFound)?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html(code.page())).into_response())
}

/// The little Markdown that the pages use: a heading, paragraphs, code.
fn html(markdown: &str) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut title = String::new();
    let mut body = String::new();
    for block in markdown.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        if let Some(heading) = block.strip_prefix("# ") {
            title = escaped(heading);
            body.push_str(&format!("<h1>{title}</h1>\n"));
            continue;
        }
        let pieces = block.split('`').enumerate();
        let inner: String =
            pieces.map(|(at, piece)| if at % 2 == 1 { format!("<code>{}</code>", escaped(piece)) } else { escaped(piece) }).collect();
        body.push_str(&format!("<p>{inner}</p>\n"));
    }
    format!("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title} · Tidings</title>\n<body>\n{body}</body></html>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_names_it() {
        for code in Code::ALL {
            let page = html(code.page());
            assert!(page.contains(&format!("<h1>{}</h1>", code.title().replace('<', "&lt;"))), "{}", code.as_str());
            assert!(page.contains(&format!("<code>{}</code>, status {}", code.as_str(), code.status())), "{}", code.as_str());
        }
    }
}
