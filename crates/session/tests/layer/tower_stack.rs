//! The session layer with each layer of tower and tower-http: outside and inside of it, in one `ServiceBuilder` and
//! applied one by one. Each combination has to compile, and to count the visits of one visitor.

use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use express_session::{Session, SessionLayer};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, COOKIE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tower::util::{
    AndThenLayer, BoxCloneServiceLayer, BoxCloneSyncServiceLayer, BoxLayer, ThenLayer,
};
use tower::util::{MapErrLayer, MapFutureLayer, MapRequestLayer, MapResponseLayer, MapResultLayer};
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::map_response_body::MapResponseBodyLayer;
use tower_http::trace::TraceLayer;

use crate::support::{BOB, World, request, sid};

type Sent = Full<Bytes>;

/// Counts in the session, whatever body the layers outside have made of the request's.
async fn count<B>(request: Request<B>) -> Result<Response<Sent>, Infallible> {
    let (parts, _) = request.into_parts();
    let session = Session::from_extensions(&parts.extensions).unwrap().load().await.unwrap();
    let n = session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
    Ok(Response::new(Full::from(n.to_string())))
}

/// Sends two requests of one visitor, and checks that the second finds the session of the first.
async fn counts<S, B>(service: S)
where
    S: Service<Request<Sent>, Response = Response<B>, Error: Debug>,
    B: http_body::Body<Data: Debug, Error: Debug>,
{
    let mut service = service;
    let mut cookie = None;
    for number in ["1", "2"] {
        let mut request = Request::new(Sent::default());
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/html"));
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(cookie) = cookie {
            request.headers_mut().insert(COOKIE, cookie);
        }
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        assert_eq!(parts.status, StatusCode::OK);
        assert_eq!(body.collect().await.unwrap().to_bytes(), number);
        cookie = parts.headers.get("set-cookie").map(|line| {
            HeaderValue::from_str(line.to_str().unwrap().split(';').next().unwrap()).unwrap()
        });
        assert_eq!(cookie.is_some(), number == "1");
    }
}

fn session() -> SessionLayer {
    World::new().layer()
}

/// A test for each layer, which is made again for each place.
macro_rules! layers {
    ($($name:ident: $layer:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            counts(ServiceBuilder::new().layer($layer).layer(session()).service(service_fn(count))).await;
            counts(ServiceBuilder::new().layer(session()).layer($layer).service(service_fn(count))).await;
            counts($layer.layer(session().layer(service_fn(count)))).await;
            counts(session().layer($layer.layer(service_fn(count)))).await;
        })*
    };
}

const LONG: Duration = Duration::from_secs(60);

fn header() -> HeaderName {
    HeaderName::from_static("x-test")
}

/// Accepts every request.
#[derive(Clone)]
struct Everybody;

impl<B: Send + 'static> tower_http::auth::AsyncAuthorizeRequest<B> for Everybody {
    type RequestBody = B;
    type ResponseBody = express_session::SessionBody<Sent>;
    type Future = std::future::Ready<Result<Request<B>, Response<Self::ResponseBody>>>;

    fn authorize(&mut self, request: Request<B>) -> Self::Future {
        std::future::ready(Ok(request))
    }
}

/// Never tries again.
#[derive(Clone)]
struct Once;

impl<Q: Clone, R, E> tower::retry::Policy<Q, R, E> for Once {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut Q, _: &mut Result<R, E>) -> Option<Self::Future> {
        None
    }

    fn clone_request(&mut self, request: &Q) -> Option<Q> {
        Some(request.clone())
    }
}

layers! {
    add_extension: tower_http::add_extension::AddExtensionLayer::new("state");
    add_authorization: tower_http::auth::AddAuthorizationLayer::bearer("token");
    catch_panic: tower_http::catch_panic::CatchPanicLayer::new();
    compression: tower_http::compression::CompressionLayer::new();
    cors: tower_http::cors::CorsLayer::permissive();
    csrf: tower_http::csrf::CsrfLayer::new();
    decompression: tower_http::decompression::DecompressionLayer::new();
    request_decompression: tower_http::decompression::RequestDecompressionLayer::new();
    follow_redirect: tower_http::follow_redirect::FollowRedirectLayer::new();
    in_flight_requests: tower_http::metrics::InFlightRequestsLayer::pair().0;
    map_request_body: tower_http::map_request_body::MapRequestBodyLayer::new(|body| body);
    map_response_body: MapResponseBodyLayer::new(|body| body);
    normalize_path: tower_http::normalize_path::NormalizePathLayer::trim_trailing_slash();
    propagate_header: tower_http::propagate_header::PropagateHeaderLayer::new(header());
    propagate_request_id: tower_http::request_id::PropagateRequestIdLayer::x_request_id();
    request_body_limit: tower_http::limit::RequestBodyLimitLayer::new(1000);
    request_body_timeout: tower_http::timeout::RequestBodyTimeoutLayer::new(LONG);
    response_body_timeout: tower_http::timeout::ResponseBodyTimeoutLayer::new(LONG);
    sensitive_headers: tower_http::sensitive_headers::SetSensitiveHeadersLayer::new([COOKIE]);
    set_request_header: tower_http::set_header::SetRequestHeaderLayer::if_not_present(
        header(), HeaderValue::from_static("1"));
    set_request_id: tower_http::request_id::SetRequestIdLayer::x_request_id(
        tower_http::request_id::MakeRequestUuid);
    set_response_header: tower_http::set_header::SetResponseHeaderLayer::if_not_present(
        CONTENT_TYPE, HeaderValue::from_static("text/html"));
    set_status: tower_http::set_status::SetStatusLayer::new(StatusCode::OK);
    timeout: tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONG);
    trace: TraceLayer::new_for_http();
    validate_request: tower_http::validate_request::ValidateRequestHeaderLayer::accept("text/html");

    buffer: tower::buffer::BufferLayer::new(8);
    concurrency_limit: tower::limit::ConcurrencyLimitLayer::new(8);
    global_concurrency_limit: tower::limit::GlobalConcurrencyLimitLayer::new(8);
    load_shed: tower::load_shed::LoadShedLayer::new();
    retry: tower::retry::RetryLayer::new(Once);
    tower_timeout: tower::timeout::TimeoutLayer::new(LONG);
    filter: tower::filter::FilterLayer::new(Ok::<_, tower::BoxError>);
    async_filter: tower::filter::AsyncFilterLayer::new(async |request: Request<Sent>| Ok::<_, tower::BoxError>(request));
    and_then: AndThenLayer::new(async |response| Ok::<_, Infallible>(response));
    box_clone: BoxCloneServiceLayer::new(tower::layer::util::Identity::new());
    box_clone_sync: BoxCloneSyncServiceLayer::new(tower::layer::util::Identity::new());
    map_err: MapErrLayer::new(|error| error);
    map_future: MapFutureLayer::new(|future| future);
    map_request: MapRequestLayer::new(|request| request);
    map_response: MapResponseLayer::new(|response| response);
    map_result: MapResultLayer::new(|result| result);
    then: ThenLayer::new(async |result| result);
    optional_other_layer: tower::util::option_layer(Some(tower::limit::ConcurrencyLimitLayer::new(8)));
}

/// Services that are not `Clone`: the session layer goes inside of them, or a buffer goes between.
macro_rules! without_clone {
    ($($name:ident: $layer:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            counts(ServiceBuilder::new().layer($layer).layer(session()).service(service_fn(count))).await;
            counts(ServiceBuilder::new().layer(session()).buffer(8).layer($layer).service(service_fn(count))).await;
        })*
    };
}

without_clone! {
    rate_limit: tower::limit::RateLimitLayer::new(100, LONG);
    spawn_ready: tower::spawn_ready::SpawnReadyLayer::new();
    boxed: BoxLayer::new(tower::layer::util::Identity::new());
}

#[tokio::test]
async fn authorization_by_a_function() {
    let layer = tower_http::auth::AsyncRequireAuthorizationLayer::new(Everybody);
    counts(layer.layer(session().layer(service_fn(count)))).await;
}

/// The alternatives of `option_layer` need one type of body, so that a layer that boxes it goes around them.
#[tokio::test]
async fn optional_session_layer() {
    async fn count_or_not(request: Request<Sent>) -> Result<Response<Sent>, Infallible> {
        match Session::from_extensions(request.extensions()) {
            Ok(_) => count(request).await,
            Err(_) => Ok(Response::new(Full::from("none"))),
        }
    }
    for is_used in [true, false] {
        let optional = is_used.then(|| {
            ServiceBuilder::new().layer(MapResponseBodyLayer::new(Body::new)).layer(session())
        });
        let service = ServiceBuilder::new()
            .option_layer(optional)
            .layer(MapResponseBodyLayer::new(Body::new))
            .service(service_fn(count_or_not));
        if is_used {
            counts(service).await;
        } else {
            let response = service.oneshot(Request::new(Sent::default())).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "none");
        }
    }
}

// Cross-site requests: the recipe of the guide.

/// Returns the status of a request with the cookie of a session, and the calls of its store.
async fn answer(method: Method, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let world = World::with(r#""n":1"#).await;
    let views = async |session: Session| {
        session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).map(|n| n.to_string())
    };
    let router = Router::new()
        .route("/", get(views).post(views))
        .layer(world.layer())
        .layer(tower_http::csrf::CsrfLayer::new());
    let cookie = sid(BOB);
    let headers = [&[("cookie", cookie.as_str()), ("host", "shop.example")], headers].concat();
    let mut request = request("/", &headers).map(|()| Body::empty());
    *request.method_mut() = method;
    let response = router.oneshot(request).await.unwrap();
    let verbs = world.verbs().iter().map(|verb| format!("{verb:?}")).collect::<Vec<_>>();
    (response.status(), verbs.join(" "))
}

#[tokio::test]
async fn cross_site_post_is_a_403_and_makes_no_call_of_the_store() {
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://shop.example")],
        &[("origin", "https://evil.example")],
        &[("origin", "https://shop.example.evil.example")],
        &[("origin", "null")],
    ] {
        let refused = (StatusCode::FORBIDDEN, String::new());
        assert_eq!(answer(Method::POST, headers).await, refused, "{headers:?}");
    }
}

#[tokio::test]
async fn post_of_the_own_site_or_of_no_browser_and_a_link_pass_the_csrf_layer() {
    let passed = (StatusCode::OK, "Load Update".to_owned());
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://shop.example")],
        &[],
    ] {
        assert_eq!(answer(Method::POST, headers).await, passed, "{headers:?}");
    }
    assert_eq!(answer(Method::GET, &[("sec-fetch-site", "cross-site")]).await, passed);
}
