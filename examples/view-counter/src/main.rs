use axum::{Router, response::Html, routing::get};
use express_session::{Cookie, Error, Session, SessionLayer};

async fn views(session: Session) -> Result<Html<String>, Error> {
    let views = session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1)?;
    Ok(Html(match views {
        1 => "<p>Welcome! This is your first visit.</p>".to_owned(),
        _ => format!("<p>Number of views: {views}</p>"),
    }))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let sessions = SessionLayer::new("keyboard cat")
        .resave(false)
        .save_uninitialized(true)
        .cookie(Cookie::new().secure(false));
    let app = Router::new().route("/", get(views)).layer(sessions);

    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("Server running on http://localhost:{}", listener.local_addr()?.port());
    axum::serve(listener, app).await
}
